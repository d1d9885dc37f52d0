"""From a protocol file to results JSON: settings of a run, its inputs checked, its tasks scored on many workers."""
