from .classifiers.simpleshot import SimpleShot
from .comparison import Comparison, holm
from .estimators import BaseDictionary, LatentAugmentation
from .evaluation import Scores, compare, evaluate
from .intervals import Interval, closed_interval
from .prediction import predict
from .statistics import f1_scores
from .tasks import TaskSet, load_tasks, sample_tasks, save_tasks

__all__ = [
    "BaseDictionary", "Comparison", "Interval", "LatentAugmentation", "Scores", "SimpleShot", "TaskSet",
    "closed_interval", "compare", "evaluate", "f1_scores", "holm", "load_tasks", "predict", "sample_tasks",
    "save_tasks",
]
