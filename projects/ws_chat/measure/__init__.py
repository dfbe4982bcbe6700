"""What is measured: each module takes sizes and gives rows, against servers that it starts itself."""
