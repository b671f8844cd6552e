import torch
from torch import nn

from saccade.attention import MultiHeadAttention
from saccade.study.cost import measure_cost


def test_a_convolutions_cost_by_hand_and_the_mode_is_left_alone():
    network = nn.Sequential(nn.Conv3d(2, 3, 3, padding=1, bias=False)).train()
    cost = measure_cost(network, (1, 2, 5, 7, 11))
    assert cost.parameters == 3 * 2 * 27
    assert cost.gflop == 2 * (3 * 2 * 27) * (5 * 7 * 11) / 1e9  # a multiply and an add per weight and voxel
    assert cost.seconds > 0
    assert cost.threads == torch.get_num_threads()
    assert network.training


def test_the_fused_attention_of_cpus_is_counted():
    n, width = 600, 16
    projections, products = 4 * 2 * n * width * width, 2 * 2 * n * n * width
    cost = measure_cost(MultiHeadAttention(width, heads=2), (1, n, width))
    assert cost.gflop == (projections + products) / 1e9
