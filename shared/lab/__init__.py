"""What the tools of integrity and the engine were tried with: attacks, benchmarks, calibration.

Nobody needs it to use them; whoever doubts their figures makes these again here.
"""
