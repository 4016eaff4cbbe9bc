"""What reading the states of candidates takes: full and compact, from the file.

    python benchmarks/scale/encoded_passages.py --encoded 1000     # once
    python benchmarks/scale/read_states.py

Prints bytes a passage, and milliseconds of the processor to read the records of 100 passages:
the look-up, the checksum and the decoding.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.encoded_passages import CACHE, open_models
from secondpass.rerank.precomputed.record_formats import FORMATS
from secondpass.rerank.precomputed.store import StateStore

PASSAGES, ROUNDS = 100, 40


def main() -> None:
    _, reranker = open_models(1)
    digest = reranker.states_digest
    shape = {"codes": reranker.codes, "dimension": reranker.encoder.dimension}
    source = StateStore(
        CACHE / "encoded" / f"states-{digest[:16]}.sqlite", digest=digest, **shape
    )
    keys = source.keys("states")
    if len(keys) < PASSAGES:
        sys.exit("Encode passages first: python benchmarks/scale/encoded_passages.py")
    numbers = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        stores = {
            name: StateStore(Path(folder) / name, digest=digest, format=form, **shape)
            for name, form in FORMATS.items()
        }
        took: dict[str, list[float]] = {name: [] for name in stores}
        for store in stores.values():
            store.take(source)
        # In turn, so that what else the machine does is in both.
        for _ in range(ROUNDS):
            wanted = [keys[i] for i in numbers.choice(len(keys), PASSAGES, replace=False)]
            for name, store in stores.items():
                began = process_time()
                found = store.get(wanted).records
                took[name].append((process_time() - began) * 1000)
                assert len(found) == PASSAGES
        for name, store in stores.items():
            store.close()
            size = store.file.stat().st_size / len(keys)
            times = f"{np.median(took[name]):6.2f} ms, {min(took[name]):.2f} at best"
            print(f"{name:8} {size:8,.0f} bytes a passage {times}")
    source.close()


if __name__ == "__main__":
    main()
