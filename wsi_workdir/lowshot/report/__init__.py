"""The report of an evaluation: one page, and every table and figure of it as files.

    from lowshot.report.writing import write_report
    write_report(["wsi_workdir/workdir/results"], "report")

`runs` reads and checks results, `overview` and `contrasts` make tables, `figures` draws, `page` puts it together.
"""
