"""What every other layer stands on, without torch: errors, files, lists, seeds, progress, features on disk."""
