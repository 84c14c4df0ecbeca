package notify

// The points between two steps of telling, as the kill test names them.
const (
	pointPosted    = "posted"    // the receiver has it, and nobody else knows
	pointDelivered = "delivered" // it is kept that the receiver has it
)
