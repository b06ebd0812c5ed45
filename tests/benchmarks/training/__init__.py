"""How fast models are trained, alone and in searches, against what people use otherwise.

    python -m tests.benchmarks.training [--repeats N] [--only TEXT] [--long] [--against PATH] [--loop LOOP]

`steps`: the reference networks, µs a step. `models`: people's own models by `hpo.fit`, seconds an epoch.
`loops`: the same by XLA and as a graph, from which the rule that chooses one has its numbers.
`searches`: whole commands, from the first import to the result, against scikit-learn and KerasTuner.
`compiling`: what one compile key costs. What a row compares is measured in turns, each time in a process of
its own, since TensorFlow's threads are fixed at import, and a slow minute of the machine hits all alike.

Prints the machine and a JSON line for each row on stdout, progress and one table on stderr. In the table
every figure is a median with its least and most; the last column is how many times the other takes of
hpo's time. Peers are in an extra: `pip install -e '.[bench]'`. `--against PATH` measures another checkout of
hpo too, in `searches` and `compiling`.
"""
