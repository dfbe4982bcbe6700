"""After the release: drift of input, labels and confidence; updates that a gate lets in or not."""
