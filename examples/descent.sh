#!/bin/sh
# Gradient descent with momentum in awk, on a narrow valley: a program that knows no Python.
# hpsearch passes --rate and --momentum; the program appends a line for each step to its report.
awk -v rate="$2" -v momentum="$4" -v steps="$HPSEARCH_MAX_STEPS" '
BEGIN {
  x = 4; y = 1
  for (step = 1; step <= steps; step++) {
    vx = momentum * vx - rate * x
    vy = momentum * vy - rate * 25 * y
    x += vx; y += vy
    height = x * x / 2 + 25 * y * y / 2
    printf "{\"step\": %d, \"value\": %g}\n", step, height >> ENVIRON["HPSEARCH_REPORT"]
    fflush()
  }
}'
