from mmengine.hooks import Hook

from fewshot_wsi.foundation.errors import UserError
from openselfsup.models.moco_v3 import momentum_at


class BYOLHook(Hook):
    """Key encoder of contrastive runs: momentum before each iteration, update after each optimiser step.

    end_momentum: what the momentum rises to, by a cosine over the iterations of the whole run.
    """

    priority = "HIGH"

    def __init__(self, end_momentum=1.0):
        self.end_momentum = end_momentum

    def before_train(self, runner):
        if not hasattr(runner.bare_model, "momentum_update"):
            raise UserError("custom_hooks: a BYOLHook needs a model with a key encoder (MOCOv3)")

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.bare_model
        model.momentum = momentum_at(runner.iter, runner.max_iters, model.base_momentum, self.end_momentum)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        done = runner.iter + 1
        if done % runner.update_interval == 0 or done == runner.max_iters:
            runner.bare_model.momentum_update()
