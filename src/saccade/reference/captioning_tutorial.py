"""sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning: the attention and the decoder of models.py.

Its encoder is torchvision's ResNet-101, which is no part of ours.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from saccade.attention.visual import VisualAttention
from saccade.reference.request import Request


class WithWeights(nn.Module):
    """The context, and the weights that made it."""

    def __init__(self, attention: VisualAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, encoder_out: Tensor, decoder_hidden: Tensor) -> tuple[Tensor, Tensor]:
        glance = self.attention.attend(encoder_out, decoder_hidden)
        return glance.context, glance.weights


class CaptionDecoder(nn.Module):
    """An LSTM that is fed each word of a caption and what it sees by then, and scores the next.

    Captions are sorted by length, so that each step runs on those that go on: the outputs are in that order, and zero
    behind the end of a caption.
    """

    def __init__(
        self,
        attention: VisualAttention,
        *,
        vocabulary: int,
        word_channels: int,
        channels: int,
        state_channels: int,
        dropout: int | float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.embedding = nn.Embedding(vocabulary, word_channels)
        self.step = nn.LSTMCell(word_channels + channels, state_channels)
        self.first_state = nn.Linear(channels, state_channels)
        self.first_cell = nn.Linear(channels, state_channels)
        self.out = nn.Linear(state_channels, vocabulary)
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.out.weight, -0.1, 0.1)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, encoder_out: Tensor, encoded_captions: Tensor, caption_lengths: Tensor
    ) -> tuple[Tensor, Tensor, list[int], Tensor, Tensor]:
        """Scores (b, steps, words), sorted captions, their numbers of steps, the maps (b, steps, n), and the order."""
        features = encoder_out.flatten(1, -2)
        lengths, order = caption_lengths.squeeze(1).sort(dim=0, descending=True)
        features, captions = features[order], encoded_captions[order]
        words, mean = self.embedding(captions), features.mean(1)
        state, cell = self.first_state(mean), self.first_cell(mean)
        steps = (lengths - 1).tolist()
        scores = features.new_zeros(len(features), max(steps), self.out.out_features)
        maps = features.new_zeros(len(features), max(steps), features.shape[1])
        for t in range(max(steps)):
            going = sum(length > t for length in steps)
            glance = self.attention.attend(features[:going], state[:going])
            seen = torch.cat([words[:going, t], glance.context], 1)
            state, cell = self.step(seen, (state[:going], cell[:going]))
            scores[:going, t] = self.out(self.dropout(state))
            maps[:going, t] = glance.weights
        return scores, captions, steps, maps, order


def attention(request: Request, encoder_dim: int, decoder_dim: int, attention_dim: int) -> nn.Module:
    return WithWeights(_attention(encoder_dim, decoder_dim, attention_dim, gate=None))


def decoder(
    request: Request,
    attention_dim: int,
    embed_dim: int,
    decoder_dim: int,
    vocab_size: int,
    encoder_dim: int = 2048,
    dropout: int | float = 0.5,
) -> nn.Module:
    return CaptionDecoder(
        _attention(encoder_dim, decoder_dim, attention_dim, gate="vector"),
        vocabulary=vocab_size,
        word_channels=embed_dim,
        channels=encoder_dim,
        state_channels=decoder_dim,
        dropout=dropout,
    )


def _attention(channels: int, state_channels: int, hidden_channels: int, *, gate: str | None) -> VisualAttention:
    return VisualAttention(
        channels,
        state_channels,
        hidden_channels=hidden_channels,
        gate=gate,
        activation=torch.relu,
        state_bias=True,
    )


CLASSES: dict[str, Callable[..., nn.Module]] = {"Attention": attention, "DecoderWithAttention": decoder}


def _attention_names(_: Any) -> dict[str, str]:
    return {"from_features": "encoder_att", "from_state": "decoder_att", "score": "full_att"}


def _decoder_names(_: Any) -> dict[str, str]:
    parts = {f"attention.{ours}": f"attention.{theirs}" for ours, theirs in _attention_names(_).items()}
    return {
        **parts,
        "attention.gate": "f_beta",
        "embedding": "embedding",
        "step": "decode_step",
        "first_state": "init_h",
        "first_cell": "init_c",
        "out": "fc",
    }


PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    CaptionDecoder: _decoder_names,
    VisualAttention: _attention_names,
    WithWeights: lambda _: {"attention": ""},
}
