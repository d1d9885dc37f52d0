"""Models of a protocol that are one recipe, trained from several seeds: one name and one entry a seed."""

from dataclasses import replace

from fewshot_wsi.foundation.errors import UserError


def seed_name(model, seed):
    """Name of a model that is trained from one of several seeds: clp -> clp_seed1, clp_wo_8 -> clp_seed1_wo_8."""
    base, marker, novel = model.partition("_wo_")
    return f"{base}_seed{seed}{marker}{novel}"


def with_seeds(p, models_of):
    """The `protocol.Protocol` with a model for each of a model's `pretrain_seeds`, and each method for all of them.

    'clp' with the seeds (0, 1) becomes clp_seed0 and clp_seed1, both of the recipe 'clp'. models_of: function from the
    model of a method and a TaskFamily to names of models. UserError where names clash or one method has models of
    different seeds.
    """
    if not any(model.pretrain_seeds for model in p.models.values()):
        return p
    models = {}
    for name, model in p.models.items():
        own = {seed_name(name, seed): replace(model, pretrain_seeds=(), recipe=name, pretrain_seed=seed)
               for seed in model.pretrain_seeds}
        clash = own.keys() & p.models.keys()
        if clash:
            raise UserError(f"{p.path}: models.{name}: a seed of it is named {min(clash)}, as another model is")
        models |= own or {name: model}

    def each(methods, family, where):
        found = []
        for method in methods:
            seeds = {p.models[model].pretrain_seeds for model in models_of(method[0], family)}
            if len(seeds) > 1:
                raise UserError(f"{where}: the models that {method[0]} stands for have different pretrain_seeds; give "
                                "them the same")
            found += [(seed_name(method[0], seed), *method[1:]) for seed in seeds.pop()] or [method]
        return tuple(found)

    tasks = {name: replace(family, methods=each(family.methods, family, f"{p.path}: tasks.{name}"),
                           variations=each(family.variations, family, f"{p.path}: tasks.{name}"))
             for name, family in p.tasks.items()}
    return replace(p, models=models, tasks=tasks)


def check_seeds(model, where):
    """UserError unless the seeds of a `protocol.ModelEntry` make sense."""
    seeds = model.pretrain_seeds if model.pretrain_seed is None else (*model.pretrain_seeds, model.pretrain_seed)
    if not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f"{where}: pre-training from the seeds {seeds!r:.60}; give whole numbers from 0, each once")
    if model.pretrain_seeds and model.config is None:
        raise UserError(f"{where}: pretrain_seeds needs a training config; for weights that are trained already, write "
                        "a model for each, with recipe and pretrain_seed")
    if model.pretrain_seeds and (model.recipe or model.pretrain_seed is not None):
        raise UserError(f"{where}: pretrain_seeds sets recipe and pretrain_seed itself; leave these out")
    if model.recipe is not None and not model.pretrain_seeds and model.pretrain_seed is None:
        raise UserError(f"{where}: recipe {model.recipe!r} needs the pretrain_seed that distinguishes its models")


def check_unlike(p):
    """UserError where two models are the same seed of one recipe."""
    seen = {}
    for name, model in p.models.items():
        other = seen.setdefault((model.recipe, model.pretrain_seed), name) if model.recipe else name
        if other != name:
            raise UserError(f"{p.path}: models.{name} and models.{other} are both recipe {model.recipe!r} with "
                            f"pretrain_seed {model.pretrain_seed}")
