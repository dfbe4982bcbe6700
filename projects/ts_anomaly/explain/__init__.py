"""Why a point was called anomalous."""
