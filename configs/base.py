"""What every training config starts from. openselfsup/config.py explains each key and holds the other defaults."""
optimizer_config = dict(update_interval=1)
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook'), dict(type='TensorboardLoggerHook')])
dist_params = dict(backend='nccl')  # gloo where there are no GPUs
cudnn_benchmark = True
log_level = 'INFO'
load_from = None
resume_from = None
workflow = [('train', 1)]
