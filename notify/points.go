package notify

// The points between two steps of a delivery, as the kill test names them.
const (
	pointPosted    = "posted"    // the receiver has it, and nobody else knows
	pointDelivered = "delivered" // the store knows that the receiver has it
)
