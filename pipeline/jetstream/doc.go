// Package jetstream keeps the pipeline's streams and state in NATS JetStream. It is the only package that knows the broker.
//
// [Source], [Sink] and [Store] are the runner's three ports:
//
//   - A Source reads one stream with one ordered consumer: no acknowledgements, in order, from any position.
//   - A Sink stores outputs, each stream's as fast-ingest batches whose count is compared, so that what is stored is always
//     a gapless prefix of what was put.
//   - A Store keeps the state of a stage's partitions in one KV bucket. A commit is one atomic batch, fenced by the sequence
//     of the partition's checkpoint.
//
// [Deploy] creates all streams and buckets; [ReadAll] reads what a stream holds for those who only show it.
//
// A message carries, beside its body, the header "Tv: <producer> <seq>.<index>", by which readers drop repeats, and
// "traceparent" if it is traced. Large chunks of raw records travel packed, which "Content-Encoding: s2" says.
// The broker's own duplicate window is never relied on.
package jetstream
