// chance.mjs - chance that can be had again: the same seed, the same draws.

export class Chance {
    constructor(seed) {
        this.state = seed >>> 0;
    }

    // Mulberry32: 0 <= x < 1.
    next() {
        this.state = (this.state + 0x6d2b79f5) >>> 0;
        let t = this.state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }

    below(n) {
        return Math.floor(this.next() * n);
    }

    pick(list) {
        return list[this.below(list.length)];
    }

    // A key of weights, each as likely as its share of 100; null: none.
    of(weights) {
        let left = this.next() * 100;
        for (const [key, weight] of Object.entries(weights)) {
            left -= weight;
            if (left < 0)
                return key;
        }
        return null;
    }
}
