from mmengine.hooks import Hook

from openselfsup.schedule import learning_rate


class RateHook(Hook):
    """Sets the learning rate of every group before each iteration, from its first rate and `lr_config`."""

    priority = "VERY_HIGH"

    def __init__(self, config):
        self.config = dict(config)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        loop = runner.train_loop
        for group in runner.optim_wrapper.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, group["initial_lr"], runner.iter, loop.batches, loop.max_epochs)
