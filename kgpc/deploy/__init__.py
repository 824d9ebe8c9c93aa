"""Making a trained model ready for use: folded for inference, and written for phones, browsers and other programs.

- `folding`: batch normalization folded into the layers beside it.
- `exporting`: LiteRT and ONNX files that were run and compared before they are kept. `options` checks what is asked
  for, `formulation` writes grouped convolutions as a runtime is fast at them, `conversion` makes the bytes, `runtimes`
  runs them, `verification` compares, and `card` describes the JSON file beside them.
- `measuring`: bytes, memory and time of such files.

Writing and running files needs the extra `deploy`: `pip install "kgpc[deploy]"`.
"""

from kgpc.deploy.exporting import Exported, ExportError, export
from kgpc.deploy.folding import fold, fold_report
from kgpc.deploy.measuring import measure

__all__ = ["ExportError", "Exported", "export", "fold", "fold_report", "measure"]
