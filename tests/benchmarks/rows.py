"""What is compared with what: one `Row` for each benchmark. Imports nothing heavy."""

from dataclasses import dataclass

# The fast recipes on the 45,000 training images: name in `models.train`, and the length of the schedule in epochs.
SCHEDULES = {"time_to_70": ("fast_cnn_narrow", 1), "time_to_80": ("fast_cnn_narrow", 3)}
TARGETS = {"time_to_70": 0.7, "time_to_80": 0.8}
PROFILED = "2 cores of AMD EPYC (avx512_bf16), in a run of its own"
MOST_EPOCHS = 12  # of the peer of time_to_80

ARTICLES = {
    "three_conv_small": '"ML and AI Blogs", issue 9, 2025',
    "three_block_dense1024": 'the first post of "Deep Learning for Computer Vision (DL4CV)"',
    "single_conv_wide_dense": '"CIFAR-10 Image Classification with TensorFlow", 2024',
}


@dataclass(frozen=True)
class Row:
    """One benchmark."""

    name: str  # for `make bench ONLY=NAME`; `sides.py` has NAME_ours and, if there is a peer, NAME_theirs
    peer: str  # what it is compared with, in the table; "" if with nothing
    ours: str  # what is measured of this series, in the table
    unit: str  # of both values
    aim: float  # the least ratio, how many times better ours should be; without a peer, the most that the value may be
    ran: str  # what was run instead of what, and how
    more_is_better: bool = False  # whether the ratio is ours / theirs instead of theirs / ours
    repeats: int = 1  # how often each side is measured, in turn; the table shows medians
    limit: str = ""  # what limits ours, as found by profiling on `PROFILED`; "" if that is not known


TRAINED = (
    "Both train on the same 45,000 images and are watched on the 5,000 validation images after every epoch, where the "
    "article watches the 10,000 test images. Seconds run from the building of the network, with whitening for ours, to "
    "the end of the first epoch that reaches the target. The length of our schedule was chosen beforehand for this "
    "target, by accuracy on these validation images; the peer keeps its article's constant learning rate. Ours "
    "computes in bfloat16 where the processor has units for it, the peer in float32. One training of each; neither "
    "shows a progress bar."
)

ROWS = (
    Row(
        "time_to_70",
        "`three_conv_small`: training until 70% of the validation images are right",
        "`fast_cnn_narrow`, schedule of 1 epoch, until the same",
        "s",
        4,
        f"{TRAINED} The peer is the article's: Adam, batches of 256, tf.data with cache, a shuffle buffer of 1,000 "
        "and prefetch, at most 50 epochs with early stopping (patience 3); on the CPU instead of a TPU.",
        limit="the 175 training steps, 75 ms each, with 627 GFLOP/s (see `roofline`). Seen in a run of its own, they "
        "take 13.2 s; building the network and whitening 1.7 s, TensorFlow's tracing of the first step 1.0 s, the "
        "look at the validation images 0.6 s. The pipeline alone needs 0.3 s an epoch.",
    ),
    Row(
        "time_to_80",
        "`three_block_dense1024`: training until 80% of the validation images are right",
        "`fast_cnn_narrow`, schedule of 3 epochs, until the same",
        "s",
        5,
        f"{TRAINED} The peer is the article's: pixels divided by 255 into float64 arrays, Adam, batches of 32, "
        f"softmax in the network; it is stopped after {MOST_EPOCHS} epochs instead of 20. In the record of its whole "
        "recipe (`models/runs/three_block_dense1024-seed0.json`) it reaches 80% in epoch 17.",
        limit="the training steps, as in `time_to_70`, three times as many.",
    ),
    Row(
        "memory",
        "`three_block_dense1024`: peak memory up to its first training step, above that of the bare import",
        "`fast_cnn`, the same",
        "MB",
        3,
        "The peer divides the pixels of 45,000 training and 5,000 validation images by 255, which makes float64 "
        "arrays, and fits in batches of 32, as its article does with 50,000 and 10,000; ours trains from the same "
        "images in batches of 512. Peak of the resident memory of a process of its own, less that of a process that "
        "does nothing but `import keras, tensorflow`, which stands below.",
        repeats=3,
        limit="not the training but the whitening before it, which lays out all patches of 5,000 images: there the "
        "process reaches 1,573 MB; it falls to 901 MB, and after the first step it has 1,423 MB.",
    ),
    Row(
        "augment",
        "`single_conv_wide_dense`: `ImageDataGenerator.flow` with shifts and flips, one epoch",
        "`make_dataset` with `flip` and `crop` of up to 3 pixels, batches of 512, one epoch",
        "images/s",
        20,
        "The peer is the article's generator (shifts by up to a tenth, flips) on its float64 pixels in batches of 32, "
        "which it changes image by image; ours keeps whole batches of uint8 pixels, of the size the fast recipe has, "
        "and shifts by whole pixels, where the peer interpolates. Two closer comparisons stand below: ours with "
        "`affine`, which interpolates too, in batches of 512, and with `crop` in batches of 32. Both deliver the same "
        "45,000 images; the first batch is not timed.",
        more_is_better=True,
        repeats=3,
        limit="the two gathers of pixels: `flip` alone or `crop` alone give about 0.4 million images/s, no change at "
        "all 1.1 million.",
    ),
    Row(
        "load",
        "`keras.datasets.cifar10.load_data()`, second call",
        "`load_cifar10()`, second call (no pixel is read yet)",
        "s",
        50,
        "The peer is Keras' own function, which at every call hashes the archive, unpacks it and reads the batches; "
        "only the archive's address and hash are those of an archive packed from CIFAR10_DIR. Ours maps arrays into "
        "memory and reads pixels when they are touched: the seconds with all pixels copied stand below.",
        repeats=5,
        limit="opening six files; no pixel is read. With all pixels copied it is 30 times as fast as the peer.",
    ),
    Row(
        "predict",
        "`three_conv_small`: one `model.predict` and one softmax a picture, 1,000 pictures",
        "`classify` of the same network, 1,000 pictures at once",
        "s",
        20,
        "Both get the same 1,000 test images in memory and the same network with random weights, after one picture "
        "that is not timed. The peer makes a float32 batch of one of each, as the article does with its one photo; "
        "here that is repeated, without the article's progress bars. Ours returns its whole table.",
        repeats=3,
        limit="the first call with batches of another size, for which TensorFlow traces its function anew: a second "
        "call takes 0.09 s, of which the network computes 0.06 s.",
    ),
    Row(
        "roofline",
        "this processor's largest measured matrix product, in the recipe's precision",
        "training step of `fast_cnn`, batch of 512",
        "GFLOP/s",
        0.5,
        "The peak is the fastest `tf.matmul` of several sizes, below in both precisions. The step is the median of a "
        "`fit`, data pipeline included. Its operations are those of convolutions and dense layers: forwards, and "
        "backwards twice as many, without the gradients that the frozen first layer spares.",
        more_is_better=True,
        repeats=3,
        limit="the gradients of the convolutions' weights. TensorFlow's profiler gives them 2.3 of 4.8 s of all "
        "operations, for a third of the work; the gradients of their inputs take 1.2 s, the way forwards 0.7 s, "
        "the gradient of ReLU 0.3 s.",
    ),
    Row(
        "first_answer",
        "",
        "notebook 01 from opening its kernel to the first class that it names",
        "s",
        20,
        "The cells up to `ask`, one after the other, in the class profile, with the images in the cache.",
        repeats=3,
    ),
    Row(
        "first_epoch",
        "",
        "notebook 02 from opening its kernel to the end of the first epoch",
        "s",
        60,
        "The cells up to `fit`, one after the other, in the class profile, with the images in the cache.",
        repeats=3,
    ),
    Row(
        "lesson",
        "",
        "the core notebooks, all their cells",
        "min",
        15,
        "Each in a kernel of its own, one after the other, in the class profile, with the images in the cache.",
    ),
    Row(
        "photo",
        "",
        "from starting Python to the class of a picture: `import utils.photos`, `load_published`, `classify`",
        "s",
        20,
        "One view of a small picture of the series. Below, the same after the system was told to drop from memory all "
        "files of the environment and of the series, as after a start of the machine.",
        repeats=3,
    ),
    Row(
        "suite",
        "",
        "`make test` after set-up",
        "min",
        8,
        "Checks, tests and all notebooks in the test profile. Minutes of each notebook stand below; two files run at a "
        "time, so they add up to more than the total. The row is of an earlier, smaller suite. That of 2026-11-29 took "
        "38 minutes of one worker, 19 for two that never wait, on 2 cores of AMD EPYC without 16-bit units: there the "
        "aim is missed.",
        limit="what runs notebooks or trainings besides the notebooks themselves. Of 9.9 minutes that all other tests "
        "take, both workers together, each notebook alone in an empty folder takes 2.5, killed and resumed trainings "
        "and the like 1.4, notebook 01 in JupyterLab and the other pages in a browser 1.1.",
    ),
)
