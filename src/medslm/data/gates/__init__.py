"""What stands between a corpus and the training: contamination, identifiers of patients, quality."""
