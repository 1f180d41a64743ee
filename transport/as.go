package transport

// As looks for what some devices can do beyond [Device], for instance
//
//	interface{ Wink(context.Context) error }
//
// It returns dev if that is a T, else the first that is one of the devices that
// dev wraps, as its method Unwrap tells.
func As[T any](dev Device) (t T, ok bool) {
	for dev != nil {
		if t, ok := dev.(T); ok {
			return t, true
		}
		wrapper, ok := dev.(interface{ Unwrap() Device })
		if !ok {
			break
		}
		dev = wrapper.Unwrap()
	}
	return t, false
}
