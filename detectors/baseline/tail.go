package baseline

import "math"

// smallest is the least chance that is told: beyond it the model means nothing.
const smallest = 1e-300

// studentAbove is the chance that a Student-t of nu degrees of freedom exceeds x:
// I(nu/(nu+x²); nu/2, 1/2)/2 (DLMF 8.17, Abramowitz and Stegun 26.7.1).
func studentAbove(x, nu float64) float64 {
	if x < 0 {
		return 1 - studentAbove(-x, nu)
	}
	return 0.5 * betaRegular(nu/(nu+x*x), nu/2, 0.5)
}

// negativeBinomialAbove is the chance of k or more where the mean is mu and the
// variance mu + phi·mu²: I(1-p; k, r), r = 1/phi, p = r/(r+mu).
func negativeBinomialAbove(k, mu, phi float64) float64 {
	if k <= 0 {
		return 1
	}
	r := 1 / math.Max(phi, 1e-4)
	return betaRegular(mu/(r+mu), k, r)
}

// betaRegular is the regularised incomplete beta function I(x; a, b), by its
// continued fraction (DLMF 8.17.22) evaluated by Lentz's method.
func betaRegular(x, a, b float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) {
		return 1 - betaRegular(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	const tiny = 1e-300
	c, d := 1.0, 1-(a+b)*x/(a+1)
	if math.Abs(d) < tiny {
		d = tiny
	}
	d = 1 / d
	f := d
	for i := 1; i <= 300; i++ {
		m := float64(i)
		for _, num := range [2]float64{
			m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)),
			-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)),
		} {
			d = 1 + num*d
			if math.Abs(d) < tiny {
				d = tiny
			}
			d = 1 / d
			c = 1 + num/c
			if math.Abs(c) < tiny {
				c = tiny
			}
			f *= c * d
		}
		if math.Abs(c*d-1) < 1e-10 {
			break
		}
	}
	return front * f
}
