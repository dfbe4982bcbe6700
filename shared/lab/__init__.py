"""What the tools of integrity were tried with: attacks on them, their benchmarks, their calibration.

Nobody needs it to use them; whoever doubts their figures makes these again here.
"""
