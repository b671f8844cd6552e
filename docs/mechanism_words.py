"""Pictures of the mechanisms that align sentences: networks learn for seconds to translate a toy English to French."""

from collections.abc import Sequence

import numpy as np
import torch
from mechanism_abdomens import Row
from torch import Tensor, nn
from torch.nn import functional as F

import saccade
from saccade.attention import (
    AdditiveAttention,
    MultiplicativeAttention,
    SinusoidalPositions,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from saccade.explain import draw

DETERMINERS = {"the": "le", "a": "un", "my": "mon", "your": "ton", "that": "ce"}
BEFORE = {"small": "petit", "big": "grand", "good": "bon", "young": "jeune"}
AFTER = {"black": "noir", "white": "blanc", "red": "rouge", "tired": "fatigué", "strange": "étrange"}
NOUNS = {"cat": "chat", "dog": "chien", "wolf": "loup", "fox": "renard", "boy": "garçon", "doctor": "médecin"}
VERBS = {"sees": "voit", "follows": "suit", "finds": "trouve", "knows": "connaît"}
END, PAD = "<end>", "<pad>"
LONGEST = 12
SENTENCE = "the young doctor does not follow your big black cat"


def thing(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """An article, perhaps adjectives, and a noun; in French most adjectives follow the noun."""

    def one(words: dict[str, str]) -> tuple[str, str]:
        return list(words.items())[rng.integers(len(words))]

    article, noun = one(DETERMINERS), one(NOUNS)
    english, french = [article[0]], [article[1]]
    if rng.random() < 0.5:
        small = one(BEFORE)
        english.append(small[0])
        french.append(small[1])
    follows = one(AFTER) if rng.random() < 0.6 else None
    english += [follows[0]] if follows else []
    return [*english, noun[0]], [*french, noun[1], *([follows[1]] if follows else [])]


def sentence(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """A sentence and its translation; "does not follow" becomes "ne suit pas"."""
    (who, qui), (what, quoi) = thing(rng), thing(rng)
    verb, verbe = list(VERBS.items())[rng.integers(len(VERBS))]
    if rng.random() < 0.3:
        return [*who, "does", "not", _bare(verb), *what], [*qui, "ne", verbe, "pas", *quoi]
    return [*who, verb, *what], [*qui, verbe, *quoi]


def _bare(verb: str) -> str:
    return verb.removesuffix("s")


def _vocabulary(words: Sequence[str]) -> dict[str, int]:
    return {word: number for number, word in enumerate([PAD, END, *words])}


ENGLISH = _vocabulary([*DETERMINERS, *BEFORE, *AFTER, *NOUNS, *VERBS, *map(_bare, VERBS), "does", "not"])
FRENCH = _vocabulary(
    [word for part in (DETERMINERS, BEFORE, AFTER, NOUNS, VERBS) for word in part.values()] + ["ne", "pas"]
)


def numbers(sentences: Sequence[Sequence[str]], vocabulary: dict[str, int]) -> Tensor:
    """Sentences as numbers of words, each with its end, padded to one length."""
    rows = [[vocabulary[word] for word in (*words, END)] for words in sentences]
    return torch.tensor([row + [vocabulary[PAD]] * (LONGEST + 1 - len(row)) for row in rows])


def batches(count: int, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Random sentences and their translations."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(steps):
        pairs = [sentence(rng) for _ in range(count)]
        made.append((numbers([a for a, _ in pairs], ENGLISH), numbers([b for _, b in pairs], FRENCH)))
    return made


class Recurrent(nn.Module):
    """A bidirectional encoder, and a decoder that looks at its annotations before every word."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(len(ENGLISH), 32), nn.Embedding(len(FRENCH), 32)
        self.encoder = nn.GRU(32, 32, bidirectional=True, batch_first=True)
        self.attention = attention
        self.first = nn.Linear(32, 64)
        self.state = nn.GRUCell(32 + 64, 64)
        self.word = nn.Linear(64, len(FRENCH))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores of every word, each given those before it."""
        mask = source != ENGLISH[PAD]
        keys = self.encoder(self.source(source))[0]
        state, scores = torch.tanh(self.first(keys[:, 0, 32:])), []
        before = self.target(F.pad(target[:, :-1], (1, 0)))
        for step in range(target.shape[1]):
            context = self.attention(state, keys, mask=mask)
            state = self.state(torch.cat([before[:, step], context], 1), state)
            scores.append(self.word(state))
        return torch.stack(scores, 1)


class Parallel(nn.Module):
    """A layer of a Transformer's encoder and one of its decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(len(ENGLISH), 64), nn.Embedding(len(FRENCH), 64)
        self.positions = SinusoidalPositions()
        self.encoder = TransformerEncoderLayer(64, heads=4, hidden_channels=128, dropout=0.0)
        self.decoder = TransformerDecoderLayer(64, heads=4, hidden_channels=128, dropout=0.0)
        self.word = nn.Linear(64, len(FRENCH))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores of every word, each given those before it."""
        there = source != ENGLISH[PAD]
        memory = self.encoder(self.positions(self.source(source)), padding=there)
        before = self.positions(self.target(F.pad(target[:, :-1], (1, 0))))
        return self.word(self.decoder(before, memory, memory_padding=there))


def trained(network: nn.Module, what: str, steps: int) -> nn.Module:
    """The network after so many batches of 64 sentences."""
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for source, target in batches(64, steps):
        scores = network(source, target)
        loss = F.cross_entropy(scores.flatten(0, 1), target.flatten(), ignore_index=FRENCH[PAD])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    right = scores.argmax(-1) == target
    print(f"{what}: {right[target != FRENCH[PAD]].float().mean():.2f} of the last batch's words right")
    return network


def translation(network: nn.Module) -> tuple[Tensor, Tensor, list[str]]:
    """The sentence to be drawn, and what the network makes of it, word by word, without its end."""
    source = numbers([SENTENCE.split()], ENGLISH)[:, : len(SENTENCE.split()) + 1]
    target = torch.zeros(1, LONGEST + 1, dtype=torch.long)
    words = list(FRENCH)
    with torch.no_grad():
        for step in range(LONGEST):
            target[0, step] = network(source, target)[0, step].argmax()
            if words[target[0, step]] == END:
                break
    said = [words[n] for n in target[0, : step + 1].tolist()]
    print("   ", *said)
    return source, target[:, : step + 1], said


def draw_alignment() -> list[Row]:
    """Additive and multiplicative alignments of one sentence."""
    row = []
    for title, attention in [
        ("additive (Bahdanau)", AdditiveAttention(64, 64, hidden_channels=64)),
        ("multiplicative (Luong, general)", MultiplicativeAttention(64, key_channels=64)),
    ]:
        torch.manual_seed(0)
        network = trained(Recurrent(attention), title, 400)
        source, target, said = translation(network)
        with torch.no_grad(), saccade.record(network) as maps:
            network(source, target)
        row.append((title, draw(maps["attention.map"], labels=said, key_labels=[*SENTENCE.split(), END])))
    return [row]


def draw_heads() -> list[Row]:
    """The heads of the attention to the source, and of the causal self-attention."""
    torch.manual_seed(0)
    network = trained(Parallel(), "multi-head attention", 350)
    source, target, said = translation(network)
    with torch.no_grad(), saccade.record(network) as maps:
        network(source, target)
    to_source = draw(maps["decoder.memory_attention.map"], labels=said, key_labels=[*SENTENCE.split(), END])
    to_past = draw(maps["decoder.attention.map"], labels=said, key_labels=["<start>", *said[:-1]])
    for axes in [*to_source.axes, *to_past.axes]:
        axes.set_title("")  # the heads are numbered in the title of the row
    return [
        [("heads 0 to 3: from each word to be said to the English sentence", to_source)],
        [("heads 0 to 3: from each word to be said to the words said before it", to_past)],
    ]
