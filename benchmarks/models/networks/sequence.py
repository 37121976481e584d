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


def lstm(lib, vocabulary=1000, width=256, layers=2, directions=1):
    """Embedding, LSTM layers, a class for every token."""
    nn = lib.nn

    class LanguageModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.lstm = nn.LSTM(
                width, width, layers, batch_first=True, bidirectional=directions == 2
            )
            self.head = nn.Linear(directions * width, vocabulary)

        def forward(self, tokens):
            states, _ = self.lstm(self.embedding(tokens))
            return self.head(states)

    return LanguageModel()


def bilstm(lib):
    return lstm(lib, 100, 128, 1, directions=2)


def lstm_tiny(lib):
    return lstm(lib, 20, 8)
