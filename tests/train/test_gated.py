from __future__ import annotations

from pathlib import Path

import torch

from secondpass.train.gated import GATE, Gated
from secondpass.train.precomputed.init import load_bert
from secondpass.train.precomputed.module import MASKED


def test_shut_gates_give_the_order_of_the_bi_encoder(weights: Path) -> None:
    bert = load_bert(weights)
    random = torch.Generator().manual_seed(0)
    query = torch.randint(4, 80, (1, 6), generator=random).expand(8, -1)
    text = torch.randint(4, 80, (8, 9), generator=random)
    query_mask, mask = torch.ones_like(query), torch.ones_like(text)
    mask[::2, 6:] = 0
    with torch.no_grad():
        halves = []
        for ids, there in ((query, query_mask), (text, mask)):
            hidden = bert(input_ids=ids, attention_mask=there).last_hidden_state
            mean = (hidden * there.unsqueeze(-1)).sum(1) / there.sum(1, keepdim=True)
            halves.append(torch.nn.functional.normalize(mean, dim=1))
        cosines = (halves[0] * halves[1]).sum(1)
        shut = Gated(bert, MASKED)
        found = shut(query, query_mask, text, mask)
        away = [
            float((Gated(bert, gate)(query, query_mask, text, mask) - found).abs().mean())
            for gate in (0.0, GATE, 4 * GATE)
        ]
    expected = shut.scale.detach() * cosines + shut.shift.detach()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert found.argsort().tolist() == cosines.argsort().tolist()
    # How near the first gates come depends on the weights, but lower is nearer.
    assert away[0] > away[1] > away[2] > 0
    assert away[2] < 1e-3
