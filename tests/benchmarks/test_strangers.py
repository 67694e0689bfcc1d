"""The benchmark of "none of these", on drawings that the shipped model has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.strangers import shares, strangers, unseen
from hpsearch.data.pack import pack
from hpsearch.pictures.own_images import read_own_images
from hpsearch.recognition.model import SHIPPED, load_model
from tests.support.drawings import write_drawings


def test_few_strangers_pass_and_most_known_pictures_do(tmp_path: Path) -> None:
    counts = {f"g{group}/c{number:02}": 4 for group in range(4) for number in range(8)}
    own = pack(read_own_images(write_drawings(tmp_path / "images", counts)), tmp_path / "packed")
    model = load_model(SHIPPED)
    found = strangers(model, unseen(model, own), ways=4, shots=1, false_accept=0.05, sets=1)
    assert set(found) == {"g0", "g1", "g2", "g3"}
    (unknown, ends), (known, _) = shares(found)
    assert ends[0] <= 0.05 <= ends[1]
    assert known > 0.5 > unknown
    described = {
        **model.description,
        "dataset": {"kind": "folder", "fingerprint": own.fingerprint},
    }
    sealed = unseen(replace(model, description=described), own).labels
    assert 0 < len(sealed.names) < 32
