"""Why a topic: attributions on the logit, merged to words, and whether they are true to the model."""
