variable project_name
set project_name "codae"
variable backend
set backend "vitis"
variable part
set part "xcvu13p-flga2577-2-e"
