"""Each loss against a slow reading of its equation, one item at a time in plain floats."""

import math

import pytest
import torch
from slow_method import cos, cross_entropy, kl

from splip.jigsaw import JigsawSolver, conditional_jigsaw_loss
from splip.losses import (
    batch_triplet_loss,
    class_loss,
    class_similarity,
    contrastive_loss,
    distance,
    divergence,
    info_nce,
    relative_divergence,
    triplet_loss,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def unit(a):
    length = math.sqrt(sum(x * x for x in a.tolist()))
    return [x / length for x in a.tolist()]


SLOW_DISTANCE = {
    "cosine": lambda a, b: 1 - cos(a, b),
    "sq_l2": lambda a, b: sum((x - y) ** 2 for x, y in zip(unit(a), unit(b))),
}


@pytest.mark.parametrize("kind", SLOW_DISTANCE)
def test_triplet_loss(kind):
    s, p, n, mu = torch.randn(9, 7), torch.randn(9, 7), torch.randn(9, 7), torch.rand(9)
    d = SLOW_DISTANCE[kind]
    slow = [max(0.0, float(m) + d(a, b) - d(a, c)) for a, b, c, m in zip(s, p, n, mu)]
    assert 0 < sum(v > 0 for v in slow) < 9, "both sides of the hinge must be tested"
    assert float(triplet_loss(s, p, n, mu, kind)) == pytest.approx(sum(slow) / 9, abs=1e-6)
    torch.testing.assert_close(distance(s, p, kind), torch.tensor([d(a, b) for a, b in zip(s, p)]), rtol=0, atol=1e-6)


def test_contrastive_loss():
    s, p = torch.randn(6, 7), torch.randn(5, 7)
    rows, columns = torch.tensor([0, 1, 2, 0, 1, 1]), torch.tensor([2, 0, 1, 0, 1])
    logits = torch.tensor([[cos(a, b) / 0.3 for b in p] for a in s], dtype=torch.float64)

    def side(logits, rows, columns):
        total = 0.0
        for scores, y in zip(logits, rows):
            targets = [j for j, other in enumerate(columns) if y == other]
            total += sum(cross_entropy(scores, j) for j in targets) / len(targets)
        return total / len(rows)

    slow = (side(logits, rows, columns) + side(logits.t(), columns, rows)) / 2
    assert float(contrastive_loss(s, p, rows, columns, 0.3)) == pytest.approx(slow, abs=1e-5)


def test_triplet_loss_at_zero_is_still_a_graph():
    s = torch.eye(4, requires_grad=True)
    loss = triplet_loss(s, torch.eye(4), -torch.eye(4), torch.zeros(4))
    loss.backward()
    assert loss == 0 and torch.equal(s.grad, torch.zeros(4, 4))


@pytest.mark.parametrize("per_image", [False, True])
def test_class_loss(per_image):
    images, labels = [torch.randn(4, 7), torch.randn(6, 7)], [torch.randint(5, (4,)), torch.randint(5, (6,))]
    texts = [torch.randn(4, 5, 7), torch.randn(6, 5, 7)] if per_image else [torch.randn(5, 7), torch.randn(5, 7)]
    slow = []
    for group, text, target in zip(images, texts, labels):
        for i, (image, y) in enumerate(zip(group, target)):
            own = text[i] if per_image else text
            slow.append(cross_entropy(torch.tensor([10.0 * cos(image, t) for t in own], dtype=torch.float64), int(y)))
    fast = class_loss(images, texts, labels, torch.tensor(10.0))
    assert float(fast) == pytest.approx(sum(slow) / 10, abs=1e-5)


def test_class_similarity():
    texts = torch.randn(4, 7)
    slow = torch.tensor([[cos(a, b) for b in texts] for a in texts])
    torch.testing.assert_close(class_similarity(texts), slow, rtol=0, atol=1e-6)


def test_conditional_jigsaw_loss():
    solver = JigsawSolver(16, num_permutations=6)
    torch.nn.init.normal_(solver.classifier.weight)  # at its start the solver is too flat to reach both hinge sides
    s, shuffled, p, n = (torch.randn(8, 16) for _ in range(4))
    y = torch.randint(6, (8,))
    slow, active = [], 0
    with torch.no_grad():
        for i in range(8):
            logits = [solver(whole[i : i + 1], shuffled[i : i + 1])[0].double() for whole in (s, p, n)]
            own, near, far = (cross_entropy(row, int(y[i])) for row in logits)
            active += near > far
            slow.append(own + max(0.0, near - far))
        fast = conditional_jigsaw_loss(solver, s, shuffled, p, n, y)
    assert 0 < active < 8, "both sides of the hinge must be tested"
    assert float(fast) == pytest.approx(sum(slow) / 8, abs=1e-5)


def test_losses_are_float32_for_half_precision_features():
    half = [torch.randn(4, 8).bfloat16() for _ in range(3)]
    assert triplet_loss(*half, torch.full((4,), 0.2)).dtype == torch.float32
    assert class_loss([half[0]], [half[1]], [torch.arange(4)], torch.tensor(1.0)).dtype == torch.float32


def slow_batch_triplet(sketch, positive, photos, margin, allowed, kind, negatives):
    """One pair at a time, in plain floats."""
    scale = {"cosine": 1.0, "sq_l2": 2.0}[kind]

    def d(a, b):
        return scale * (1.0 - float(a @ b / (a.norm() * b.norm())))

    rows, pairs = [], []
    for i in range(len(sketch)):
        near = d(sketch[i], positive[i])
        far = {j: d(sketch[i], photos[j]) for j in range(len(photos)) if allowed[i, j]}
        violation = {j: max(0.0, float(margin[i, j]) + near - value) for j, value in far.items()}
        pairs += violation.values()
        if not far:
            continue
        farther = {j: value for j, value in far.items() if value > near}
        if negatives == "batch_hard":
            rows.append(violation[min(far, key=far.get)])
        else:
            rows.append(violation[min(farther, key=farther.get) if farther else max(far, key=far.get)])
    chosen = pairs if negatives == "batch_all" else rows
    return sum(chosen) / len(chosen) if chosen else 0.0


@pytest.mark.parametrize("kind", ["cosine", "sq_l2"])
@pytest.mark.parametrize("negatives", ["semi_hard", "batch_hard", "batch_all"])
def test_negatives_of_the_batch(negatives, kind):
    g = torch.Generator().manual_seed(0)
    sketch, positive, photos = (torch.randn(n, 8, generator=g) for n in (6, 6, 12))
    positive[2] = sketch[2] + 0.01  # nearer than any negative
    positive[3] = -sketch[3]  # farther than any
    margin = torch.rand(6, 12, generator=g)
    allowed = torch.rand(6, 12, generator=g) < 0.5
    allowed[5] = False  # has no negative
    found = batch_triplet_loss(sketch, positive, photos, margin, allowed, kind, negatives)
    wanted = slow_batch_triplet(sketch, positive, photos, margin, allowed, kind, negatives)
    assert abs(float(found) - wanted) < 1e-5, (float(found), wanted)
    none = batch_triplet_loss(sketch.requires_grad_(), positive, photos, margin, allowed & False, kind, negatives)
    none.backward()
    assert float(none.detach()) == 0.0 and sketch.grad.abs().sum() == 0


def test_divergence():
    wanted, found = torch.randn(4, 6), torch.randn(4, 6)
    slow = sum(kl(a, b) for a, b in zip(wanted, found)) / 4
    other = sum(kl(b, a) for a, b in zip(wanted, found)) / 4
    print(f"KL(wanted || found) {slow:.4f}, the other way {other:.4f}")
    assert float(divergence(wanted, found)) == pytest.approx(slow, abs=1e-5) and abs(slow - other) > 1e-2


@pytest.mark.parametrize("triplets", [2, 3])
def test_relative_divergence(triplets):
    delta, label = torch.randn(12), torch.tensor([4, 1, 4, 2, 1, 4, 1, 1, 3, 3, 2, 4])
    rows = {c: [d for d, own in zip(delta, label) if own == c][:triplets] for c in (1, 2, 3, 4)}
    rows = [torch.stack(row) for row in rows.values() if len(row) == triplets]
    pairs = [kl(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    assert len(rows) == {2: 4, 3: 2}[triplets], "some categories must be left out, with 3"
    fast = float(relative_divergence(delta, label, triplets))
    print(f"{len(pairs)} pairs of categories: {fast:.6f}, slowly {sum(pairs) / len(pairs):.6f}")
    assert fast == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


@pytest.mark.parametrize("label", [[0, 1, 2, 3], [0, 0, 1, 2]])
def test_relative_divergence_of_one_category_is_zero_and_still_a_graph(label):
    delta = torch.randn(4, requires_grad=True)
    loss = relative_divergence(delta, torch.tensor(label), 2)
    loss.backward()
    assert loss == 0 and torch.equal(delta.grad, torch.zeros(4))


def test_info_nce():
    z, reference = torch.randn(5, 7), torch.randn(5, 7)
    rows = [torch.tensor([cos(a, b) / 0.3 for b in reference], dtype=torch.float64) for a in z]
    slow = sum(cross_entropy(row, i) for i, row in enumerate(rows)) / 5
    found, other = float(info_nce(z, reference, 0.3)), float(info_nce(reference, z, 0.3))
    print(f"{found:.6f}, slowly {slow:.6f}, the other way {other:.6f}")
    assert found == pytest.approx(slow, abs=1e-5) and abs(found - other) > 1e-3
