"""What a trained classifier is worth: scores, calibration, errors, and the baseline beside it."""
