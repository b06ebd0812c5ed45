"""An MLP with skip connections for tables: each block adds to what it was given, so that deep ones train."""

import keras
from keras import layers


def build(width, blocks, dropout, learning_rate=0.003, *, input_shape, outputs):
    """`blocks` times a dense layer, normalized, whose outputs are added to its inputs."""
    inputs = keras.Input(input_shape)
    x = layers.Dense(width)(inputs)
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        y = layers.Dense(width, "relu")(y)
        y = layers.Dropout(dropout)(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    return keras.Model(inputs, layers.Dense(outputs)(x))


def callbacks(folder):
    """A log of each run in a file, and a learning rate that falls where val_loss no longer does."""
    return [
        keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True),
        keras.callbacks.ReduceLROnPlateau(patience=5, factor=0.5),
    ]
