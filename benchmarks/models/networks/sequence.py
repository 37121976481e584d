# SPDX-License-Identifier: Apache-2.0
"""A recurrent language model and a small perceptron."""


def mlp(lib, width=64, classes=10):
    """Three layers of width 64: what a step costs beside its arithmetic."""
    nn = lib.nn
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )


def recurrent(lib, kind, vocabulary, width, layers=1, **options):
    """Embedding, recurrent layers, a class for every token."""
    nn = lib.nn

    class LanguageModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.lstm = getattr(nn, kind)(width, width, layers, batch_first=True, **options)
            outputs = options.get("proj_size", width) * (2 if "bidirectional" in options else 1)
            self.head = nn.Linear(outputs, vocabulary)

        def forward(self, tokens):
            states, _ = self.lstm(self.embedding(tokens))
            return self.head(states)

    return LanguageModel()


def lstm(lib):
    return recurrent(lib, "LSTM", 1000, 256, 2)


def bilstm(lib):
    return recurrent(lib, "LSTM", 100, 128, bidirectional=True)


def projected_lstm(lib):
    return recurrent(lib, "LSTM", 100, 256, proj_size=64)


def large_lstm(lib):
    return recurrent(lib, "LSTM", 100, 1024)


def bigru(lib):
    return recurrent(lib, "GRU", 100, 128, bidirectional=True)


def rnn(lib):
    return recurrent(lib, "RNN", 100, 128, 2)


def lstm_tiny(lib):
    return recurrent(lib, "LSTM", 20, 8, 2)


def gru_tiny(lib):
    return recurrent(lib, "GRU", 20, 8, 2, bidirectional=True)


def packed(lib, kind="GRU", vocabulary=100, width=128):
    """Texts of a third of the full length and more, the last states of which say the class."""
    nn = lib.nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.rnn = getattr(nn, kind)(width, width, batch_first=True, bidirectional=True)
            self.head = nn.Linear(2 * width, 10)

        def forward(self, tokens):
            rows, steps = tokens.shape
            lengths = [steps - i * (steps - steps // 3) // rows for i in range(rows)]
            pack = nn.utils.rnn.pack_padded_sequence
            _, last = self.rnn(pack(self.embedding(tokens), lengths, batch_first=True))
            last = last[0] if kind == "LSTM" else last
            return self.head(last.transpose(0, 1).flatten(1))

    return Classifier()


def packed_lstm(lib):
    return packed(lib, "LSTM")


def cells(lib, kind="GRUCell", vocabulary=100, width=128):
    """A decoder step by step; at every second step it reads its own choice, not the given token."""
    nn = lib.nn

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.cell = getattr(nn, kind)(width, width)
            self.head = nn.Linear(width, vocabulary)

        def forward(self, tokens):
            state, scores = None, []
            for t in range(tokens.shape[1]):
                own = t % 2 == 1
                token = scores[-1].argmax(-1) if own else tokens[:, t]
                state = self.cell(self.embedding(token), state)
                scores.append(self.head(state[0] if kind == "LSTMCell" else state))
            return lib.stack(scores, 1)

    return Decoder()


def lstm_cells(lib):
    return cells(lib, "LSTMCell")


def seq2seq(lib, vocabulary=100, width=128):
    """Encoder of both directions; a decoder of cells that attends to it at every step."""
    nn = lib.nn

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.encoder = nn.GRU(width, width, batch_first=True, bidirectional=True)
            self.bridge = nn.Linear(2 * width, width)
            self.cell = nn.GRUCell(2 * width, width)
            self.head = nn.Linear(2 * width, vocabulary)

        def forward(self, tokens):
            words = self.embedding(tokens)
            memory = self.bridge(self.encoder(words)[0])
            state, scores = memory[:, -1], []
            context = lib.zeros_like(state)
            for t in range(tokens.shape[1]):
                state = self.cell(lib.cat([words[:, t], context], 1), state)
                weights = lib.softmax((memory @ state.unsqueeze(2)).squeeze(2), 1)
                context = (weights.unsqueeze(1) @ memory).squeeze(1)
                scores.append(self.head(lib.cat([state, context], 1)))
            return lib.stack(scores, 1)

    return Translator()
