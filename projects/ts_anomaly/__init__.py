"""A Transformer for anomalies in time series, judged without the tricks that made its field look good."""
