from mmengine.hooks import Hook

from fewshot_wsi.foundation.errors import UserError
from openselfsup.models.moco_v3 import momentum_at


class BYOLHook(Hook):
    """Key encoder of contrastive runs: momentum before each iteration, then the update of the key encoder.

    end_momentum: what the momentum rises to, by a cosine over the iterations of the whole run.
    update_interval: iterations between updates, which follow the optimiser. Published: 1, also where the optimiser
    steps only every n iterations (optimizer_config.update_interval = n); with n here too, one update a step.
    """

    priority = "HIGH"

    def __init__(self, end_momentum=1.0, update_interval=1):
        if not isinstance(update_interval, int) or isinstance(update_interval, bool) or update_interval < 1:
            raise UserError(f"BYOLHook: update_interval is {update_interval!r}; give a whole number from 1")
        self.end_momentum, self.update_interval = end_momentum, update_interval

    def before_train(self, runner):
        if not hasattr(runner.bare_model, "momentum_update"):
            raise UserError("custom_hooks: a BYOLHook needs a model with a key encoder (MOCOv3)")
        if self.update_interval < runner.update_interval:
            runner.logger.info(f"the key encoder moves every {self.update_interval} iteration(s), the optimiser every "
                               f"{runner.update_interval}, as published; BYOLHook(update_interval="
                               f"{runner.update_interval}) moves both together, as one large batch would")

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.bare_model
        model.momentum = momentum_at(runner.iter, runner.max_iters, model.base_momentum, self.end_momentum)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        done = runner.iter + 1
        if done % self.update_interval == 0 or done == runner.max_iters:  # the optimiser steps at the end, too
            runner.bare_model.momentum_update()
