"""What every other room stands on, without torch: errors, files, lists, seeds, progress, features on disk."""
