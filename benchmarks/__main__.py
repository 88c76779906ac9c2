"""Runs all benchmarks."""

from benchmarks import bench_convert, bench_evaluate, bench_generate, bench_render, bench_startup, bench_train

for benchmark in (bench_startup, bench_convert, bench_train, bench_generate, bench_evaluate, bench_render):
    print(f"\n{benchmark.__name__}: {(benchmark.__doc__ or '').splitlines()[0]}")
    benchmark.main()
