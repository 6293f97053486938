package jetstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// limitKey holds what [Topology.Share] was called with, so that deploying again without a limit changes none.
const limitKey = "storage-limit"

// LoadStorageLimit returns the limit that a deployment shares, bytes; 0 if none is stored.
func LoadStorageLimit(ctx context.Context, js jetstream.JetStream) (int64, error) {
	value, revision, err := lastValue(ctx, js, DeploymentBucket, limitKey)
	if err != nil || revision == 0 {
		return 0, err
	}
	limit, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the storage limit of the deployment: %w", err)
	}
	return limit, nil
}

// StoreStorageLimit keeps the limit that a deployment shares. Call it when [Deploy] has succeeded with it.
func StoreStorageLimit(ctx context.Context, js jetstream.JetStream, limit int64) error {
	kv, err := js.KeyValue(ctx, DeploymentBucket)
	if err == nil {
		_, err = kv.Put(ctx, limitKey, strconv.AppendInt(nil, limit, 10))
	}
	if err != nil {
		return fmt.Errorf("store the storage limit of the deployment: %w", err)
	}
	return nil
}
