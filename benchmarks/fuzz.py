"""Feeds every parser damaged files: success or one clean refusal is allowed, nothing else.

`make fuzz SECONDS=60`, seconds for each parser. Bytes are flipped, cut, doubled, zeroed and
inserted, by a seed that is printed; what breaks a parser is kept.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save as save_tensors

from hpsearch.configfile import dump_yaml, read_yaml
from hpsearch.errors import HpsearchError
from hpsearch.maintenance.invariants import check_invariants
from hpsearch.network.siamese import SiameseNetwork
from hpsearch.paths import StudyFolder
from hpsearch.pictures.archive import decode_drawing, read_files
from hpsearch.pictures.folder import convert
from hpsearch.recognition.model import load_model
from hpsearch.results.export import HEAD
from hpsearch.results.retrain import read_exported
from hpsearch.shipped_files import find_shipped
from hpsearch.space.space import SearchSpace
from hpsearch.storage.view import read_study
from hpsearch.study.config import StudyConfig
from hpsearch.training.checkpoint import Checkpoint, load, save
from hpsearch.training.checkpoint_file import keep_best_weights
from hpsearch.training.config import TrialConfig

from .fuzz_written import Parser, make_study, make_written, odd

SLOW_S = 20.0
"""Seconds of processor time after which a parser counts as hanging."""
TRIAL = {
    "input_size": 20,
    "layers": {
        "conv1": {"filter_size": 5, "filter_count": 2},
        "fc": {"width": 4},
        "output": {},
    },
}


def make_parsers(folder: Path) -> dict[str, Parser]:
    """Write one good file of each kind; return what reads it."""
    return {
        "study file": _study_file(folder),
        "search space": _space(folder),
        "checkpoint": _checkpoint(folder),
        "database": _database(folder),
        "zip": _zip(folder),
        "png": _png(folder),
        "model": _model(folder),
        "best.yaml": _best(folder),
        **make_written(folder / "written"),
    }


def _study_file(folder: Path) -> Parser:
    path = folder / "study_file.yaml"
    path.write_bytes(find_shipped("studies", "quickstart").read_bytes())
    return Parser(path, lambda: StudyConfig.from_values(read_yaml(path), path))


def _space(folder: Path) -> Parser:
    path = folder / "space_file.yaml"
    path.write_bytes(find_shipped("search_spaces", "quickstart").read_bytes())
    return Parser(path, lambda: SearchSpace.from_yaml(path))


def _checkpoint(folder: Path) -> Parser:
    path = folder / "checkpoint"
    tensors = {f"{part}.x": torch.arange(50.0) for part in ("weights", "velocity", "best")}
    save(Checkpoint(tensors, {"epoch": 1, "curve": []}), path)

    def read() -> None:
        load(path)
        keep_best_weights(path)

    return Parser(path, read)


def _database(folder: Path) -> Parser:
    study = StudyFolder(folder / "study")
    make_study(study)

    def read() -> None:
        check_invariants(study)
        read_study(study)

    return Parser(study.database, read)


def _zip(folder: Path) -> Parser:
    path = folder / "images_background.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"images_background/A/character01/{number}.png", _drawing())

    def read() -> None:
        for name, content in read_files(path):
            decode_drawing(content, name)

    return Parser(path, read)


def _png(folder: Path) -> Parser:
    path = folder / "drawing.png"
    path.write_bytes(_drawing())

    def read() -> None:
        convert(path)
        decode_drawing(path.read_bytes(), path.name)

    return Parser(path, read)


def _drawing() -> bytes:
    content = io.BytesIO()
    Image.new("1", (105, 105), 1).save(content, "PNG")
    return content.getvalue()


def _model(folder: Path) -> Parser:
    place = folder / "model"
    place.mkdir()
    config = TrialConfig.from_values(TRIAL)
    network = SiameseNetwork(config.shape(), output_bias=False)
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.named_parameters()}
    (place / "weights.safetensors").write_bytes(save_tensors(tensors))
    about = {"dataset": {"kind": "glyphs", "fingerprint": "f"}, "config": config.plain()}
    (place / "config.yaml").write_text(dump_yaml(about))
    return Parser(place / "weights.safetensors", lambda: load_model(place))


def _best(folder: Path) -> Parser:
    path = folder / "best.yaml"
    values = {"format": 1, "dataset": {"kind": "glyphs", "fingerprint": "f"}, "seed": 1}
    path.write_text(HEAD + dump_yaml({**values, "config": TrialConfig.from_values(TRIAL).plain()}))
    return Parser(path, lambda: read_exported(path))


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return a file with something wrong with it."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not changed:
            break
        place = rng.randrange(len(changed))
        length = min(rng.choice((1, 2, 8, 64, 512)), len(changed) - place)
        kind = rng.randrange(6)
        if kind <= 1:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            changed[place : place + length] = bytes(length)
        elif kind == 4:
            changed[place:place] = changed[place : place + length]
        else:
            changed[place : place + length] = rng.randbytes(length)
    return bytes(changed)


def fuzz(parser: Parser, seconds: float, rng: random.Random) -> tuple[int, int, str | None]:
    """Damage a file for some seconds; return tries, refusals, and what went wrong."""
    good = parser.path.read_bytes()
    tries = refused = 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        bad = (odd if parser.json and rng.random() < 0.5 else damage)(good, rng)
        parser.path.write_bytes(bad)
        tries += 1
        used = time.process_time()
        try:
            parser.read()
        except HpsearchError as error:
            refused += 1
            if error.exit_code not in (2, 3) or "\n" in str(error):
                return tries, refused, f"{type(error).__name__}: {error}"
        except Exception:
            return tries, refused, traceback.format_exc()
        if time.process_time() - used > SLOW_S:
            return tries, refused, f"took {time.process_time() - used:.0f} s"
    parser.path.write_bytes(good)
    return tries, refused, None


def main() -> int:
    """Fuzz every parser and print a line for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    chosen = options.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="hpsearch-fuzz-") as name:
        for kind, parser in make_parsers(Path(name)).items():
            rng = random.Random(f"{chosen.seed} {kind}")
            tries, refused, wrong = fuzz(parser, chosen.seconds, rng)
            sys.stdout.write(f"{kind:28} {tries:6} tries, {refused:6} refused, ")
            sys.stdout.write("none went wrong\n" if wrong is None else "WRONG\n")
            if wrong is not None:
                failed += 1
                kept = Path(tempfile.mkdtemp(prefix="hpsearch-fuzz-")) / parser.path.name
                kept.write_bytes(parser.path.read_bytes())
                sys.stdout.write(f"{wrong}\nkept as {kept}, seed {chosen.seed}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{failed} parsers went wrong, seed {chosen.seed}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
