"""Disguises of copied code, detectors and corpora to measure shared/originality with, and its calibration."""
