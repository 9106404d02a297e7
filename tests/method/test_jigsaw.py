import time

import pytest
import torch

from splip.config import MOST_PERMUTATIONS, SpLIPConfig
from splip.jigsaw import JigsawSolver, draw_pool, permutation_bank, shuffle, shuffled_pairs


@pytest.mark.parametrize(("grid", "size"), [(3, 100), (2, 23), (4, 30)])
def test_bank_holds_distinct_permutations_without_the_identity(grid, size):
    bank = permutation_bank(grid, size, seed=1)
    identity = torch.arange(grid * grid)
    assert bank.shape == (size, grid * grid)
    assert torch.equal(bank.sort(dim=1).values, identity.expand(size, -1))
    assert len(torch.unique(bank, dim=0)) == size and not (bank == identity).all(dim=1).any()


def test_bank_is_fixed_by_its_seed_and_spread_out():
    bank = permutation_bank(3, 100, seed=0)
    assert torch.equal(bank, permutation_bank(3, 100, seed=0))
    assert not torch.equal(bank, permutation_bank(3, 100, seed=1))
    distance = (bank[:, None] != bank[None]).sum(-1).fill_diagonal_(9)
    chance = torch.stack([torch.randperm(9) for _ in range(100)])
    chance_distance = (chance[:, None] != chance[None]).sum(-1).fill_diagonal_(9)
    assert distance.min() >= 6 and distance.min() > chance_distance.min(), (distance.min(), chance_distance.min())


def test_too_large_a_bank_is_refused():
    with pytest.raises(ValueError, match="a 2x2 jigsaw has 23 permutations besides the identity, asked for 24"):
        permutation_bank(2, 24)
    for build in (permutation_bank, lambda grid, size: SpLIPConfig(grid=grid, permutations=size)):
        with pytest.raises(ValueError, match=r"at most 5,000.*, (got|asked for) 5,001"):
            build(3, MOST_PERMUTATIONS + 1)


def greedy(pool, size):
    """Literally: each next member is the first of those that lie farthest from the nearest member so far."""
    members, chosen = [tuple(range(len(pool[0])))], []
    for _ in range(size):
        nearest = [min(sum(a != b for a, b in zip(one, member)) for member in members) for one in pool]
        chosen.append(pool[nearest.index(max(nearest))])
        members.append(chosen[-1])
    return chosen


@pytest.mark.parametrize(("grid", "size"), [(2, 23), (3, 12), (4, 8), (10, 5)])
def test_the_choice_is_the_greedy_one(grid, size):
    pool = [tuple(row) for row in draw_pool(grid * grid, size, seed=3).tolist()]
    print(f"{size} of {len(pool)} permutations of {grid}x{grid} tiles")
    assert [tuple(row) for row in permutation_bank(grid, size, seed=3).tolist()] == greedy(pool, size)


def test_the_bank_of_2000_is_made_once_and_soon():
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        bank = permutation_bank(3, 2000, seed=7)
        seconds.append(time.perf_counter() - began)
    print(f"made in {seconds[0]:.3f} s, then had in {seconds[1]:.6f} s")
    assert seconds[1] < seconds[0] / 20
    wanted = bank.clone()
    bank.zero_()  # whoever has one may do with it what they like
    assert torch.equal(permutation_bank(3, 2000, seed=7), wanted)
    assert not torch.equal(permutation_bank(3, 2000, seed=8), wanted)


def test_shuffle_puts_tile_p_i_at_place_i():
    images = torch.randn(2, 3, 9, 12)
    permutations = torch.stack([torch.randperm(9), torch.randperm(9)])
    out = shuffle(images, permutations)
    for b in range(2):
        for place, source in enumerate(permutations[b].tolist()):
            (r, c), (sr, sc) = divmod(place, 3), divmod(source, 3)
            got = out[b, :, 3 * r : 3 * r + 3, 4 * c : 4 * c + 4]
            want = images[b, :, 3 * sr : 3 * sr + 3, 4 * sc : 4 * sc + 4]
            assert torch.equal(got, want), f"image {b}: place {place} does not hold tile {source}"


def test_a_side_that_is_no_multiple_of_the_grid_may_be_resized():
    smooth = torch.linspace(0, 1, 224).expand(3, 224, 224).contiguous()
    torch.testing.assert_close(shuffle(smooth, torch.arange(9), 3, "resize"), smooth, rtol=0, atol=5e-3)


def test_a_side_that_is_no_multiple_of_the_grid_keeps_its_pixels():
    image, permutation = torch.rand(3, 224, 224), torch.randperm(9)
    out = shuffle(image, permutation)
    assert torch.equal(shuffle(image, torch.arange(9)), image), "nothing is blurred"
    assert torch.equal(out[:, 1:-1, 1:-1], shuffle(image[:, 1:-1, 1:-1], permutation))
    rim = torch.ones(224, 224, dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    assert torch.equal(out[:, rim], image[:, rim])


def test_shuffle_of_one_image_equals_its_row_in_a_batch():
    images, permutations = torch.rand(4, 3, 48, 48), permutation_bank(3, 4)
    batch = shuffle(images, permutations)
    assert all(torch.equal(shuffle(images[i], permutations[i]), batch[i]) for i in range(4))


def test_a_permutation_of_another_grid_is_refused():
    with pytest.raises(ValueError, match="3x3 jigsaw has 9 tiles, got a permutation of 4"):
        shuffle(torch.rand(3, 8, 8), torch.arange(4))


def test_solver_tells_the_whole_from_the_shuffled_and_learns_a_toy():
    torch.manual_seed(0)
    solver = JigsawSolver(16, num_permutations=3)
    a, b = torch.randn(5, 16), torch.randn(5, 16)
    assert not torch.allclose(solver(a, b), solver(b, a), atol=1e-4)
    y, directions = torch.arange(48) % 3, torch.randn(3, 16)
    whole = torch.randn(48, 16)
    shuffled = whole + directions[y]
    optimiser = torch.optim.Adam(solver.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        losses.append(torch.nn.functional.cross_entropy(solver(whole, shuffled), y))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.3 * losses[0], (float(losses[0]), float(losses[-1]))


def test_shuffled_pairs_are_the_images_in_two_orders_that_differ():
    """CLIP-AT's patches: tiles of 4 x 4 pixels, each of one number, found again one by one."""
    torch.manual_seed(0)
    numbers = torch.arange(4.0).view(2, 2).repeat_interleave(4, 0).repeat_interleave(4, 1)
    sketch, photo = numbers.expand(40, 3, 8, 8), 10 + numbers.expand(40, 3, 8, 8)
    orders = [[image[0, ::4, ::4].flatten().tolist() for image in images] for images in shuffled_pairs(sketch, photo)]
    for first, own, other in zip(*orders):
        assert sorted(first) == [0, 1, 2, 3] and own == [10 + tile for tile in first] and sorted(other) == sorted(own)
        assert other != own
    assert len({tuple(order) for order in orders[0]}) > 10 and len({tuple(order) for order in orders[2]}) > 10
    for images, kept in zip(shuffled_pairs(sketch, photo), (sketch, photo, photo)):
        assert torch.equal(images[..., :4, :4], images[:, :, :1, :1].expand(40, 3, 4, 4)) and images.shape == kept.shape
