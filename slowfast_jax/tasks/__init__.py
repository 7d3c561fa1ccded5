"""What differs between jobs. A task is a module with

- headline(config), the metric that says which checkpoint is best: the larger the better;
- training_examples(config, workdir), what there is to train on;
- batch_shapes(config, rows, crop), shapes and types of a batch of training;
- loss_function(config), (logits, endpoints, batch) -> (loss, {name: scalar});
- validate(config, predict, workdir), metrics while training, `predict` being (clips[, boxes]) ->
  probabilities;
- test(config, recognizer, workdir, save_scores), a `Tested` by the config's protocol;
- report(config, workdir), what report/html.py shows of the last test in `workdir` besides its
  metrics: keywords of `write_report`.
"""

from slowfast_jax.tasks import classification, detection

TASKS = {"classification": classification, "detection": detection}
