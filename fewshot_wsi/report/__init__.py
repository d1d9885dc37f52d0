"""The report of an evaluation: one page, and every table and figure of it as files.

    from fewshot_wsi.report.writing import write_report
    write_report(["wsi_workdir/workdir/results"], "report")

`runs` reads and checks results, `variants` distinguishes runs of equal settings, `selection` sets runs side by side,
`overview`, `contrasts` and `ablations` make tables, `figures` draws, `page` puts it together.
"""
