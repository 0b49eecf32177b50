package Prometheus;

# Reads the text format of Prometheus, version 0.0.4, strictly: what a server only
# tolerates is an error here.

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT_OK = qw(parse_metrics);

my $NAME   = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $LABEL  = qr/[a-zA-Z_][a-zA-Z0-9_]*/;
my $VALUE  = qr/(?:[^"\\\n]|\\["\\n])*/;
my $NUMBER = qr/[+-]?(?:[0-9]+(?:[.][0-9]*)?(?:e[+-]?[0-9]+)?|Inf)|NaN/;

# Returns { FAMILY => { type, help, sample => { 'NAME{LABELS}' => VALUE } } }; dies of
# the first line that is wrong.
sub parse_metrics {
    my ($text) = @_;
    die "no line end at the end\n" if $text !~ /\n\z/;
    my ( %family, $current );
    for my $line ( split /\n/, $text ) {
        if ( my ( $name, $help ) = $line =~ /\A# HELP ($NAME) (\S.*)\z/ ) {
            die "twice: $line\n" if $family{$name};
            $current = $family{$name} = { name => $name, help => $help, sample => {}, order => [] };
        }
        elsif ( my ( $of, $type ) = $line =~ /\A# TYPE ($NAME) (counter|gauge|histogram)\z/ ) {
            die "not after its HELP: $line\n"
                if !$current || $current->{name} ne $of || $current->{type};
            die "a counter is no _total: $line\n" if ( $type eq 'counter' ) ne $of =~ /_total\z/;
            $current->{type} = $type;
        }
        else { _read_sample( $current, $line ) }
    }
    _check_histogram($_) for grep { ( $_->{type} // q{} ) eq 'histogram' } values %family;
    die "no TYPE: $_\n"  for grep { !$family{$_}{type} } sort keys %family;
    return \%family;
}

sub _read_sample {
    my ( $family, $line ) = @_;
    my ( $name, $labels, $value ) =
        $line =~ /\A($NAME)(?:\{((?:$LABEL="$VALUE",?)*)\})? ($NUMBER)\z/
        or die "no sample: $line\n";
    my $of = $family ? $family->{name} : q{};
    die "before its TYPE: $line\n" if !$family || !$family->{type};
    die "in a foreign family: $line\n"
        if $family->{type} eq 'histogram'
        ? $name !~ /\A\Q$of\E_(?:bucket|sum|count)\z/
        : $name ne $of;
    die "a label list ends with a comma: $line\n" if ( $labels // q{} ) =~ /,\z/;
    my %seen;
    $seen{$_}++ && die "a label twice: $line\n" for ( $labels // q{} ) =~ /($LABEL)="$VALUE"/g;
    my $key = defined $labels ? "$name\{$labels}" : $name;
    die "twice: $line\n" if exists $family->{sample}{$key};
    die "no count: $line\n"
        if $value !~ /\A[0-9]+(?:[.][0-9]+)?(?:e[+-]?[0-9]+)?\z/ && $family->{type} ne 'gauge';
    $family->{sample}{$key} = $value;
    push @{ $family->{order} }, $key;
    return;
}

sub _check_histogram {
    my ($family) = @_;
    my ( $name, $sample, $last, $before ) = ( @{$family}{qw(name sample)}, 0 );
    for my $key ( grep { /\A\Q$name\E_bucket/ } @{ $family->{order} } ) {
        my ($le) = $key =~ /\{le="([^"]*)"\}\z/ or die "no le: $key\n";
        my $bound = $le eq '+Inf' ? 9**9**9 : $le + 0;
        die "not in order: $key\n"   if defined $before && $bound <= $before;
        die "not cumulative: $key\n" if $sample->{$key} < $last;
        die "not an integer: $key\n" if $sample->{$key} !~ /\A[0-9]+\z/;
        ( $before, $last ) = ( $bound, $sample->{$key} );
    }
    die "no +Inf: $name\n"   if ( $before // 0 ) != 9**9**9;
    die "no _sum: $name\n"   if !defined $sample->{"${name}_sum"};
    die "no _count: $name\n" if ( $sample->{"${name}_count"} // -1 ) != $last;
    return;
}

1;
