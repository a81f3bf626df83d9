"""What the notebooks share. A file imports only files further down in this list:

photos        a picture to the 32×32 pixels that a model sees, and to the model's answer              01, 06
plotting      figures that two notebooks or more draw                                                 01 to 06
evaluation    shares with intervals, calibration, a score by which to say 'I do not know'             03, 05, 06
training      learning-rate schedule, whitened start, several views of an image, records of trainings 03 to 06
pipelines     arrays to shuffled, augmented batches                                                   01 to 04
networks      the networks by name, the published one with its weights                                01 to 06
pictures      a reader's pictures, from wherever they are: upright, in right colours                  01, 06
data          CIFAR-10 as checked, read-only arrays, from five sources                                01 to 06
download      the archive: from the first mirror that delivers it, and its files read
drawings      the stand-in where CIFAR-10 cannot be had, drawn from a table of shapes
machine       what runs here: start of a notebook, profile, processor, TPU, GPUs or CPU               01 to 06
"""
