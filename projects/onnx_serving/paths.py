"""Where runs, graphs and results are. Nothing is imported here that needs torch: the server reads it too."""

from pathlib import Path

RUNS = Path("runs/onnx_serving")
QA = RUNS / "qa"  # the run of the default configuration, seed 0
EXPORTED = RUNS / "exported"
RESULTS = Path("projects/onnx_serving/results")

# Of each precision: the encoder's and the decoder's file in an exported folder.
GRAPHS = {"float32": ("encoder.onnx", "decoder.onnx"), "int8": ("encoder.int8.onnx", "decoder.int8.onnx")}
ENCODER, DECODER = GRAPHS["float32"]
ENCODER_INT8, DECODER_INT8 = GRAPHS["int8"]
