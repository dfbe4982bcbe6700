"""Fine-tuning of the question-answering encoder and its evaluation."""
