"""hpo against what people use otherwise, whole commands from the first import to the result.

    python -m tests.benchmarks.peers cnn [--repeats N] [--small]

`cnn`: a grid over a small convolutional network on Fashion-MNIST, by hpo with two workers and by KerasTuner
with two threads: the same configurations, epochs and batches. hpo's programs and database are new each time.

Prints the machine and a JSON line on stdout, a table on stderr: configurations an hour, medians (least-most),
and how many times as many hpo trains. `--small` is a glance at whether it works: digits, four configurations.
Needs the extra `bench`, and `hpo data fetch fashion_mnist`.
"""
