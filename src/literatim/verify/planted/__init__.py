"""The power of `verify`, measured: faults and clean variations planted in the fake npu, and how many it tells apart."""
