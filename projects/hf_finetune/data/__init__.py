"""From raw reviews to tokenised splits, with a report of what was dropped and why."""
