"""The experiments behind the README, each of which resumes where it stopped."""
